#include "TexBridgeComponent.h"

#include "Core/Session.h"
#include "TexBridgeColor.h"
#include "TexBridgeSubsystem.h"
#include "TexBridgeText.h"

#include "Components/MeshComponent.h"
#include "Engine/GameInstance.h"
#include "Engine/Texture2D.h"
#include "Engine/World.h"
#include "GameFramework/Actor.h"
#include "Materials/MaterialInstanceDynamic.h"
#include "RHITypes.h"

DEFINE_LOG_CATEGORY_STATIC(LogTexBridgeComponent, Log, All);

using namespace texbridge;

UTexBridgeComponent::UTexBridgeComponent()
{
	PrimaryComponentTick.bCanEverTick = true;
	// After Sequencer and everybody else has set this tick's values, and before the picture of this tick is drawn.
	PrimaryComponentTick.TickGroup = TG_PostUpdateWork;
}

UTexBridgeSubsystem* UTexBridgeComponent::Subsystem() const
{
	const UWorld* World = GetWorld();
	UGameInstance* Game = World != nullptr ? World->GetGameInstance() : nullptr;
	return Game != nullptr ? Game->GetSubsystem<UTexBridgeSubsystem>() : nullptr;
}

void UTexBridgeComponent::Attach(const std::shared_ptr<Session>& NewSession)
{
	Detach();
	Attached = NewSession;
	SubscribedStream = Stream;
	Sent = std::make_shared<Value>(Value::Map());
	if (!Workflow.IsEmpty())
	{
		static const char* const Modes[] = {"oneshot", "latest", "live"};
		OpenOptions Open;
		Open.stream = ToCore(Stream);
		Open.workflow = ToCore(Workflow);
		Open.mode = bWaitForFrame ? "oneshot" : Modes[static_cast<uint8>(Mode)];
		Open.params = ChangedValues(true);
		if (Size.X > 0 && Size.Y > 0)
		{
			Open.width = static_cast<uint32_t>(Size.X);
			Open.height = static_cast<uint32_t>(Size.Y);
		}
		NewSession->Open(Open);
	}
	View(NewSession);
}

void UTexBridgeComponent::View(const std::shared_ptr<Session>& Link)
{
	SubscribeOptions Subscribe;
	Subscribe.stream = ToCore(SubscribedStream);
	Subscribe.outputs = {0};
	if (!bWaitForFrame)
	{
		Subscribe.blend_fps = FMath::Max(BlendFps, 0.0f);
	}
	Mailbox = Link->Subscribe(Subscribe);
}

void UTexBridgeComponent::Detach()
{
	if (const std::shared_ptr<Session> Old = Attached.lock())
	{
		if (Sequence)
		{
			Old->Cancel(Sequence);
		}
		Old->Unsubscribe(ToCore(SubscribedStream));
		if (!Workflow.IsEmpty())
		{
			Old->CloseStream(ToCore(SubscribedStream));
		}
	}
	Attached.reset();
	Mailbox.reset();
	Sequence.reset();
}

void UTexBridgeComponent::AddSequenceKey(const FString& Parameter, int32 Frame, const Value& NewValue, const FString& Easing)
{
	if (!Tracks)
	{
		Tracks = std::make_shared<Value>(Value::Map());
	}
	AddKey(*Tracks, ToCore(Parameter), Frame, NewValue, Easing.IsEmpty() ? Value() : Value(ToCore(Easing)));
}

void UTexBridgeComponent::AddNumberKey(const FString& Parameter, int32 Frame, double NewValue, const FString& Easing)
{
	AddSequenceKey(Parameter, Frame, NewValue, Easing);
}

void UTexBridgeComponent::AddColorKey(const FString& Parameter, int32 Frame, FLinearColor NewValue, const FString& Easing)
{
	AddSequenceKey(Parameter, Frame, ColorValue(NewValue), Easing);
}

void UTexBridgeComponent::AddTextKey(const FString& Parameter, int32 Frame, const FString& NewValue)
{
	AddSequenceKey(Parameter, Frame, ToCore(NewValue), FString());
}

bool UTexBridgeComponent::BeginSequence(int32 Frames, int32 FirstFrame, float FramesPerSecond)
{
	const UTexBridgeSubsystem* Bridge = Subsystem();
	const std::shared_ptr<Session> Link = Bridge != nullptr ? Bridge->GetSession() : nullptr;
	if (!Link || !Bridge->CanWait() || Frames < 1)
	{
		return false;
	}
	if (Sequence)
	{
		Link->Cancel(Sequence);
	}
	if (Attached.lock() != Link || SubscribedStream != Stream)
	{
		Attach(Link);
	}
	SequenceOptions Options;
	Options.frames = static_cast<uint32_t>(Frames);
	Options.first = FirstFrame;
	Options.fps = FMath::Max(FramesPerSecond, 0.0f);
	Options.has_seed = true;
	Options.seed = static_cast<uint64_t>(FMath::Max(Seed, 0));
	if (Tracks)
	{
		Options.tracks = *Tracks;
	}
	SequenceLength = Frames;
	ShownFrame = -1;
	// In place of the newest picture alone, and before it is asked for.
	SubscribeOptions Subscribe;
	Subscribe.stream = ToCore(SubscribedStream);
	Subscribe.outputs = {0};
	Subscribe.is_lossless = true;
	Subscribe.credit = 4;
	Mailbox = Link->Subscribe(Subscribe);
	Sequence = Link->AskSequence(ToCore(SubscribedStream), Options);
	return true;
}

void UTexBridgeComponent::EndSequence()
{
	Tracks.reset();
	if (!Sequence)
	{
		return;
	}
	if (const std::shared_ptr<Session> Link = Attached.lock())
	{
		Link->Cancel(Sequence);
		Sequence.reset();
		View(Link);
	}
	Sequence.reset();
}

bool UTexBridgeComponent::TakeSequenceFrame(const std::shared_ptr<Session>& Link, FrameSet& Set)
{
	const bool bIsComplete = ShownFrame + 1 == SequenceLength;
	FString Message;
	if (!bIsComplete)
	{
		const int32 Wanted = SequenceFrame < 0 ? ShownFrame + 1 : SequenceFrame;
		if (Wanted <= ShownFrame || Wanted >= SequenceLength)
		{
			return false; // warm-up, or a frame that is rendered twice: the picture stays
		}
		const auto Until = Clock::now() + std::chrono::milliseconds(static_cast<int64>(WaitSeconds * 1000.0f));
		const Fault Wrong = Link->WaitForIndex(Sequence, Mailbox, static_cast<uint32_t>(Wanted), Until, Set);
		if (!Wrong)
		{
			ShownFrame = Wanted;
			return true;
		}
		Message = ToEngine(Wrong.message);
		UE_LOG(LogTexBridgeComponent, Error, TEXT("a picture is missing in the recording: %s"), *Message);
	}
	EndSequence();
	OnSequenceEnded.Broadcast(bIsComplete, Message);
	return false;
}

void UTexBridgeComponent::EndPlay(const EEndPlayReason::Type EndPlayReason)
{
	Detach();
	Super::EndPlay(EndPlayReason);
}

Value UTexBridgeComponent::ChangedValues(bool bAll)
{
	Value Now = Value::Map();
	const auto Add = [&Now](const FString& Name, const Value& NewValue)
	{
		if (!Name.IsEmpty())
		{
			Now.Set(ToCore(Name), NewValue);
		}
	};
	Add(NumberAName, NumberA);
	Add(NumberBName, NumberB);
	Add(NumberCName, NumberC);
	Add(ColorAName, ColorValue(ColorA));
	Add(ColorBName, ColorValue(ColorB));
	Add(TextAName, ToCore(TextA));
	Value Changed = Value::Map();
	for (const Member& One : Now.Members())
	{
		if (bAll || !((*Sent)[One.key.c_str()] == One.value))
		{
			Changed.Set(One.key, One.value);
		}
	}
	*Sent = Now;
	return Changed;
}

void UTexBridgeComponent::Run()
{
	if (const std::shared_ptr<Session> Link = Attached.lock())
	{
		RunOptions Options;
		Options.params = ChangedValues(false);
		Link->Ask(ToCore(SubscribedStream), Options);
	}
}

void UTexBridgeComponent::TickComponent(float DeltaTime, ELevelTick TickType, FActorComponentTickFunction* ThisTickFunction)
{
	Super::TickComponent(DeltaTime, TickType, ThisTickFunction);
	const UTexBridgeSubsystem* Bridge = Subsystem();
	const std::shared_ptr<Session> Link = Bridge != nullptr ? Bridge->GetSession() : nullptr;
	if (!Link)
	{
		return;
	}
	if (Attached.lock() != Link || SubscribedStream != Stream)
	{
		Attach(Link);
	}
	FrameSet Set;
	bool bHasPicture = false;
	if (Sequence)
	{
		bHasPicture = TakeSequenceFrame(Link, Set);
	}
	else if (bWaitForFrame && Bridge->CanWait())
	{
		RunOptions Options;
		Options.params = ChangedValues(true);
		Options.has_seed = true;
		Options.seed = static_cast<uint64_t>(FMath::Max(Seed, 0));
		const auto Until = Clock::now() + std::chrono::milliseconds(static_cast<int64>(WaitSeconds * 1000.0f));
		const Fault Wrong = Link->WaitForFrame(Link->Ask(ToCore(Stream), Options), Mailbox, Until, Set);
		bHasPicture = !Wrong;
		if (Wrong)
		{
			UE_LOG(LogTexBridgeComponent, Error, TEXT("%s: a picture is missing in the recording: %s"), *Stream, *ToEngine(Wrong.message));
		}
	}
	else
	{
		const Value Changed = ChangedValues(false);
		if (!Changed.Members().empty())
		{
			Link->Set(ToCore(Stream), Changed);
		}
		bHasPicture = Mailbox->Take(Set);
	}
	if (bHasPicture)
	{
		Upload(Set.frames.front());
		OnPicture.Broadcast(static_cast<int32>(Set.Header().number), static_cast<int64>(Set.Header().request), Set.Header().Has(kHeld));
	}
}

void UTexBridgeComponent::Upload(const FramePtr& Frame)
{
	const FrameHeader& Header = Frame->header;
	if (Header.format != kBgra8 || Header.Has(kBottomLeft))
	{
		return; // not what was asked for
	}
	const int32 Width = static_cast<int32>(Header.width);
	const int32 Height = static_cast<int32>(Header.height);
	const bool bNewIsLinear = Header.Has(kLinear);
	if (Texture == nullptr || Texture->GetSizeX() != Width || Texture->GetSizeY() != Height || bIsLinear != bNewIsLinear)
	{
		Texture = UTexture2D::CreateTransient(Width, Height, PF_B8G8R8A8);
		if (Texture == nullptr)
		{
			return;
		}
		bIsLinear = bNewIsLinear;
		Texture->SRGB = !bIsLinear;
		Texture->UpdateResource();
		TArray<UMeshComponent*> Meshes;
		if (AActor* Owner = GetOwner(); Owner != nullptr && !TextureParameter.IsNone())
		{
			Owner->GetComponents(Meshes);
		}
		for (UMeshComponent* Mesh : Meshes)
		{
			for (int32 Place = 0; Place < Mesh->GetNumMaterials(); ++Place)
			{
				if (UMaterialInstanceDynamic* Material = Mesh->CreateDynamicMaterialInstance(Place))
				{
					Material->SetTextureParameterValue(TextureParameter, Texture);
				}
			}
		}
		OnTextureChanged.Broadcast(Texture);
	}
	if (Texture->GetResource() == nullptr)
	{
		return; // there is nothing that would call back, and so nothing that would free
	}
	// The render thread reads the frame's own bytes. The call-back holds the frame until then, and the region too.
	const FUpdateTextureRegion2D* const Region = new FUpdateTextureRegion2D(0, 0, 0, 0, Header.width, Header.height);
	uint8* const Pixels = const_cast<uint8*>(Frame->Payload().data);
	const FramePtr Held = Frame;
	Texture->UpdateTextureRegions(0, 1, Region, Header.row_pitch, 4, Pixels,
		[Held](uint8*, const FUpdateTextureRegion2D* Regions) { delete Regions; });
}
